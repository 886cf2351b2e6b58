export type { SshDeps, SshLog } from './deps.ts';
export { type HostKey, openHostKey } from './host-key.ts';
export { defaultSshLimits, type SshLimits } from './limits.ts';
export { parsePublicKey, type PublicKey } from './public-key.ts';
export { SshServer } from './ssh-server.ts';
