// White space, control, format (bidirectional overrides), surrogate, line and paragraph separators: whatever could move a cursor or fake a log line.
const unprintable = /[\s\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;

/** Guest text made fit for errors and logs: at most `maxLength` UTF-16 units, every run of white space and unprintable characters one space. */
export function cleanText(text: string, maxLength = 256): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
  return cut.replaceAll(unprintable, ' ').trim();
}
