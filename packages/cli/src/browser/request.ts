/** An address to open, and the ports of the sprite that its page needs. */
export interface BrowserRequest {
  /** An http or https URL in ASCII. */
  url: string;
  ports: number[];
}

/** Most ports of one request; the others are left out. */
const maxPorts = 16;

/** Reads what a guest asks for, latin1. Undefined for what is no http or https URL or holds what would act on a terminal or hide in it. */
export function parseRequest(latin1: string): BrowserRequest | undefined {
  const [, address = '', list = ''] = /^(.*?)(?:;(\d{1,5}(?:,\d{1,5})*))?$/s.exec(latin1) ?? [];
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(address, 'latin1'));
  } catch {
    // No text is no address.
    return undefined;
  }
  // Control and format characters, spaces and separators, and what is no character at all.
  if (/[\p{C}\p{Z}]/u.test(text)) return undefined;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return undefined;
  const ports = list.split(',').map(Number);
  return { url: url.href, ports: [...new Set(ports)].filter((port) => port > 0 && port <= 65_535).slice(0, maxPorts) };
}
