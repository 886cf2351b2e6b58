/** Whether a parsed JSON value is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object a JSON text says; undefined for anything else, of which the caller knows what it means. */
export function parseObject(text: string | Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(typeof text === 'string' ? text : new TextDecoder().decode(text));
    return isObject(value) ? value : undefined;
  } catch {
    // No JSON is no object either.
    return undefined;
  }
}
