export { edgeKey } from './key.ts';
export { defaultEdgeLimits, type EdgeLimits } from './limits.ts';
export { hashLinkSecret, linkPath, linkStands } from './links.ts';
export { startEdge, startRedirect, type RunningEdge } from './listen.ts';
export type { EdgeDeps } from './deps.ts';
export { hashPassword } from './passwords.ts';
export { SpriteUrls } from './urls.ts';
export { placeOf } from './host.ts';
