/** Where the configuration file is looked for by itself. */
export const CONFIG_FILE = '/etc/bootwave/bootserver.yaml';
