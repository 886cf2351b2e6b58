import { execFile } from 'node:child_process';
import { SylphError } from '@sylph/model';

/** Longest that `ip` or `nft` may take, ms: on a busy host the kernel tears namespaces down for seconds. */
const deadlineMs = 20_000;
/** Output of a program that is kept, bytes: what is listed is bounded by sets of our own size. */
const maxOutputBytes = 4 * 2 ** 20;

/** Directory where `ip netns` keeps namespaces by name. */
export const namespaceDir = '/run/netns';

/** File of a namespace. */
export function namespaceFile(name: string): string {
  return `${namespaceDir}/${name}`;
}

/**
 * Runs `ip`, `nft` or `nsenter` to its end and returns its output. Throws `host_unfit` when the program is missing, `timeout` at the deadline, when it is killed, and `internal` with its first line of error output
 * when it fails. The environment is empty but for PATH.
 */
export function runTool(command: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      {
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
        maxBuffer: maxOutputBytes,
        env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(failureOf(command, error, stderr));
      },
    );
    // A program that ends early does not read it all; its exit says why.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Several commands of `ip` in one process, in a namespace where one is named. Stops at the first that fails. */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  await runTool('ip', [...where, '-batch', '-'], `${lines.join('\n')}\n`);
}

/** Loads rules in one transaction, in a namespace where one is named. */
export async function nft(rules: string, namespace?: string): Promise<void> {
  await inNamespace(namespace, 'nft', ['-f', '-'], rules);
}

/** Answer of `nft` to a command that lists. */
export async function nftJson(command: readonly string[], namespace?: string): Promise<unknown> {
  return JSON.parse(await inNamespace(namespace, 'nft', ['-j', ...command]));
}

function inNamespace(
  namespace: string | undefined,
  command: string,
  args: readonly string[],
  input?: string,
): Promise<string> {
  return namespace === undefined
    ? runTool(command, args, input)
    : runTool('nsenter', [`--net=${namespaceFile(namespace)}`, command, ...args], input);
}

function failureOf(command: string, error: Error & { code?: unknown; killed?: boolean }, stderr: string): SylphError {
  if (error.code === 'ENOENT')
    return new SylphError('host_unfit', `${command} is not installed`, {
      hint: `Install ${command}; npm run setup does.`,
      cause: error,
    });
  if (error.killed === true) return new SylphError('timeout', `${command} did not finish in ${deadlineMs} ms`);
  const line = stderr
    .split('\n')
    .map((text) => text.replaceAll(/\p{Cc}/gu, ' ').trim())
    .find((text) => text !== '');
  return new SylphError('internal', `${command}: ${line ?? error.message.split('\n')[0]}`, { cause: error });
}
