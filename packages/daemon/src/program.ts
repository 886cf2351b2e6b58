import { Command } from 'commander';
import { addSettings } from './commands/settings.ts';
import { doctorCommand } from './commands/doctor.ts';
import { imageCommand } from './commands/image.ts';
import { run } from './commands/run.ts';
import { serveCommand } from './commands/serve.ts';
import { tokenCommand } from './commands/token.ts';
import { version } from './version.ts';

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  await run(() => program.parseAsync());
}

const program = new Command('sylphd')
  .description('A home for sprites: persistent VMs that sleep, wake, checkpoint, restore and fork with their memory')
  .version(version, '-V, --version')
  .showHelpAfterError('(sylphd --help lists the commands)');
for (const command of [serveCommand(), tokenCommand(), imageCommand(), doctorCommand()]) program.addCommand(command);
for (const command of program.commands)
  for (const leaf of command.commands.length > 0 ? command.commands : [command]) addSettings(leaf);
