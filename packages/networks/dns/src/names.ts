import { domainToASCII } from 'node:url';

/** A label as hosts and services have them. What DNS allows beyond it, no name of a policy can say. */
const label = /^[a-z0-9_-]{1,63}$/;
/** RFC 1035 section 2.3.4, without the final dot. */
const maxNameLength = 253;

/** A name as names are compared: ASCII (IDNA), lower case, without a final dot; the root is the empty text. Undefined where it is none that a host can have. */
export function canonicalName(text: string): string | undefined {
  const ascii = /^[\x00-\x7f]*$/.test(text) ? text : domainToASCII(text);
  const name = ascii.toLowerCase().replace(/\.$/, '');
  if (name === '') return text === '' || text === '.' ? '' : undefined;
  return name.length <= maxNameLength && name.split('.').every((part) => label.test(part)) ? name : undefined;
}

/** The names a name lies under, nearest first, without the root: `b.c` and `c` of `a.b.c`. */
export function* parentsOf(name: string): Generator<string, void, undefined> {
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) yield name.slice(dot + 1);
}
