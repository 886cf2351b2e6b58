import { Command } from 'commander';
import { pino } from 'pino';
import { requestIdMixin } from '../request-id.ts';
import { startDaemon } from '../wiring/daemon.ts';
import { configOf } from './settings.ts';

/** `sylphd serve`: runs until SIGTERM or SIGINT, then ends in order. A second signal ends at once; sprites are then adopted or recovered by the next daemon. */
export function serveCommand(): Command {
  return new Command('serve').description('run the daemon').action(async (_options: unknown, command: Command) => {
    const config = configOf(command);
    const log = pino({
      level: config['log-level'],
      mixin: requestIdMixin,
      redact: ['req.headers.authorization', '*.authorization', '*.token'],
    });
    process.umask(0o022);
    const daemon = await startDaemon(config, log);
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        process.once(signal, () => {
          log.info({ signal }, 'ending');
          process.once(signal, () => process.exit(1));
          resolve();
        });
      }
    });
    await daemon.close();
    log.info({}, 'ended');
  });
}
