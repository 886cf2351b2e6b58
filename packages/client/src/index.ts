// The entry for Node.
export * from './core.ts';
export { SylphClient } from './node/client.ts';
export { nodeTransport } from './transport/node.ts';
export { ExecError, Sprite, SpriteFilesystem, SpritesClient, type SpritesClientOptions } from './node/sprites.ts';
export { SpriteCommand } from './node/command.ts';
export { ProxyManager, ProxySession, type PortMapping } from './node/proxy.ts';
export { Forward, type ForwardOptions } from './node/forward.ts';
export { carry } from './node/carry.ts';
