import { randomInt } from 'node:crypto';

const adjectives =
  'amber brave bright brisk calm clear clever cosy crisp dapper eager early fair fleet fond gentle glad golden green happy hazel jolly keen kind light lively lucky merry mild misty neat nimble noble pearly plucky proud quick quiet rosy royal silent silver smooth snug spry steady sunny swift tidy warm wise witty'.split(
    ' ',
  );
const nouns =
  'acorn aspen badger beacon birch breeze brook cedar clover comet coral cricket dawn delta ember falcon fern finch fjord fox garnet glade harbor hare heron ibis iris juniper kestrel lagoon lark lynx maple marten meadow moth oak otter owl pebble pine plover quail raven reed river robin sparrow spruce swift thistle tern wren'.split(
    ' ',
  );

/** A name for a sprite nobody named: `brisk-otter-4821`. */
export function friendlyName(): string {
  const pick = (words: string[]): string => words[randomInt(words.length)] ?? '';
  return `${pick(adjectives)}-${pick(nouns)}-${randomInt(1000, 10_000)}`;
}
