import { usageError } from '../failure.ts';

/** One side of a copy. `sprite` empty: the one that is chosen elsewhere. */
export type Endpoint = { sprite: string; path: string } | { sprite: undefined; path: string };

/** Where relative paths in a sprite begin. */
export const home = '/home/sprite';

/** `sprite:path`, `:path`, or a path of this machine; one with a colon in a name is written with a slash before it, as for scp. */
export function parseEndpoint(text: string): Endpoint {
  const [, sprite, path] = /^([a-z0-9-]*):(.*)$/s.exec(text) ?? [];
  if (sprite === undefined || path === undefined) {
    if (text === '') throw usageError('a path is empty');
    return { sprite: undefined, path: text };
  }
  return { sprite, path: path === '' ? '.' : path };
}
