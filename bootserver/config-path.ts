/** Where the configuration file is looked for by default. */
export const CONFIG_FILE = '/etc/bootwave/bootserver.yaml';
