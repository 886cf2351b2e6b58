import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CliError } from '../failure.ts';
import { hostName, quoted, type SshTarget, sshSettings } from './ssh-target.ts';

/** Runs the system's ssh in our place; its exit code. `words` are its own: options, then a command. */
export async function runSsh(
  target: SshTarget,
  sprite: string,
  { words, env }: { words: readonly string[]; env: NodeJS.ProcessEnv },
): Promise<number> {
  const settings = sshSettings(target).flatMap(([name, value]) => ['-o', `${name}=${quoted(value)}`]);
  // Options may stand on both sides of the host, and a command behind it.
  const child = spawn('ssh', [...settings, '-l', target.user(sprite), hostName(sprite), ...words], {
    stdio: 'inherit',
    env,
  });
  // What the terminal sends goes to both; ssh knows what it means.
  const stay = (): void => {};
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, stay);
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new CliError(cause.code === 'ENOENT' ? 'there is no ssh on this machine' : cause.message, {
            code: 'no_ssh',
            hint: "install OpenSSH's client, or use sylph console",
            cause,
          }),
        ),
      );
      child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.off(signal, stay);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, pass);
  }
}
