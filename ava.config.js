export { default } from './test/unit.config.js';
