import { usageError } from '../failure.ts';

/** Longest input of a job, characters: what the API takes. */
export const maxJobInputLength = 256 * 1024;

const hint = 'put it into a file, and have the command read that: sylph file push FILE PATH';

/** Reads the input of a job to its end. Refuses what the API cannot carry, as soon as it is known: bytes that are no UTF-8 text, and more than {@link maxJobInputLength}. */
export async function readJobInput(source: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let input = '';
  const take = (bytes?: Uint8Array): void => {
    try {
      input += bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      throw usageError('the input of a job has to be UTF-8 text', hint);
    }
    if (input.length > maxJobInputLength)
      throw usageError(`the input of a job may have ${maxJobInputLength} characters at most`, hint);
  };
  for await (const bytes of source) take(bytes);
  take();
  return input;
}
