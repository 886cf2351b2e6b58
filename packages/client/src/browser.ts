// The entry for browsers, and for every other platform with fetch and WebSocket.
export * from './core.ts';
export { SylphClient } from './client.ts';
export { Sprite, SpritesClient, type SpritesClientOptions } from './web/sprites.ts';
export { SpriteCommand } from './web/command.ts';
export { ExecError } from './sdk/errors.ts';
export { SpriteFilesystem } from './sdk/filesystem.ts';
