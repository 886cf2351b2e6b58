import { spawn } from 'node:child_process';

/** Opens an http or https URL in the person's browser, which goes on by itself. Rejects when there is nothing that opens it. */
export async function openUrl(url: string): Promise<void> {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(program, [url], { stdio: 'ignore', detached: true });
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  child.unref();
}
