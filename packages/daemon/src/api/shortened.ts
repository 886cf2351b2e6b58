/** Longest text of a request that is told back in a message. */
const maxLength = 200;
/** How much of its end is kept: messages often quote first and say after. */
const endLength = 60;

/** A text that may hold what a client sent, with its middle left out when it is long. */
export function shortened(text: string): string {
  if (text.length <= maxLength) return text;
  return `${text.slice(0, maxLength - endLength - 1)}…${text.slice(-endLength)}`;
}
