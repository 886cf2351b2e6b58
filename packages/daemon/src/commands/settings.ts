import { Option, type Command } from 'commander';
import {
  defaultConfigFile,
  resolveConfig,
  settings,
  type Config,
  type PartialConfig,
  type SettingName,
} from '../config.ts';

/** Settings only `serve` needs; the rest make sense to every command. */
const shared: readonly SettingName[] = ['data-dir', 'guest-dir', 'image-cache', 'image-specs', 'accel'];

/** Gives a command the options of the settings table. Defaults are filled by `resolveConfig`, so that file and environment come before them. */
export function addSettings(command: Command): void {
  for (const [name, setting] of Object.entries(settings)) {
    if (command.name() !== 'serve' && !shared.includes(name as SettingName)) continue;
    const option = new Option(`--${name} <value>`, `${setting.help} (default: ${JSON.stringify(setting.default)})`);
    if (name === 'failpoints') option.hideHelp();
    command.addOption(option);
  }
  command.option('--config <file>', `configuration file, TOML (default: ${defaultConfigFile} where it exists)`);
}

/** The configuration a command was called with. */
export function configOf(command: Command): Config {
  const options = command.opts<Record<string, unknown>>();
  const flags: PartialConfig = {};
  for (const name of Object.keys(settings) as SettingName[]) {
    const camel = name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (options[camel] !== undefined) flags[name] = options[camel];
  }
  const { config } = options;
  return resolveConfig(flags, { configFile: typeof config === 'string' ? config : undefined });
}
