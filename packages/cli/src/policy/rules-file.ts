import { readFile } from 'node:fs/promises';
import type { NetworkRule } from '@sylph/model';
import { CliError, usageError } from '../failure.ts';

/** The rules of a file, or of stdin for `-` or nothing; unchecked. Throws a usage error on what holds none. */
export async function rulesFrom(file: string | undefined): Promise<NetworkRule[]> {
  if ((file === undefined || file === '-') && process.stdin.isTTY)
    throw usageError('there is no policy', 'sylph policy set FILE, or give it on stdin');
  const text = file === undefined || file === '-' ? await fromStdin() : await fromFile(file);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CliError(`the policy is not JSON: ${(cause as Error).message}`, { code: 'usage', exitCode: 2, cause });
  }
  const rules: unknown = Array.isArray(value) ? value : (value as { rules?: unknown } | null)?.rules;
  if (!Array.isArray(rules)) throw usageError('the policy has no rules', 'write {"rules": […]}');
  // The server checks each, and says what does not fit.
  return rules as NetworkRule[];
}

async function fromStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function fromFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read: ${(cause as Error).message}`, { code: 'unreadable', cause });
  }
}
