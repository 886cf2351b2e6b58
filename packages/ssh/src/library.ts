import ssh2 from 'ssh2';

/** The library is CommonJS; its parts in use, by name. */
export const { Server, utils } = ssh2;
