import { SequenceReader, type Sequence } from './sequences.ts';

/** DEC private modes that are on in a terminal nobody touched; all others are off. 7 wraps lines, 8 repeats keys, 25 shows the cursor, 1034–1036 and 1039 treat Meta, 1042 and 1044 are xterm's. */
const onByDefault = new Set([7, 8, 25, 1035, 1036, 1039, 1044]);
/** Alternate screens; left last, because colours and keyboards belong to the screen they were set on. */
const screens = [1049, 1047, 47];
/** Modes that move the cursor when set or reset: 6 origin, 3 132 columns, 69 left and right margins. */
const movingModes = new Set([3, 6, 69]);
/** Saving and restoring the cursor is an action; on 1048 "off" restores. */
const actions = new Set([1048]);

/** Most modes remembered; a program that sets more is not a terminal program. */
const maxModes = 256;

/** Kitty's keyboard protocol on one screen: flags of the levels pushed, and flags set below them. */
interface Keyboard {
  pushed: string[];
  set: string;
}

/**
 * Follows what a program does to a terminal, and knows what puts it back. Only what the program itself changed and did not put back is undone: what belongs to
 * the shell around us (its bracketed paste, its key modes) stays as it is.
 */
export class ModeTracker {
  readonly #reader = new SequenceReader();
  /** DEC private modes as last set. */
  readonly #modes = new Map<number, boolean>();
  /** ANSI modes (4 insert, 20 new line) as last set. */
  readonly #ansi = new Map<number, boolean>();
  /** Kitty keyboard levels pushed, and flags set, per screen. */
  readonly #keyboards: Record<'main' | 'alternate', Keyboard> = {
    main: { pushed: [], set: '' },
    alternate: { pushed: [], set: '' },
  };
  /** xterm's modifyOtherKeys and its relatives: resource → value. */
  readonly #modifyKeys = new Map<string, string>();
  #styled = false;
  #keypad = false;
  #charset = false;
  #shifted = false;
  #region = false;
  #cursorShape = false;
  #link = false;
  #colours = new Set<string>();
  #titles = 0;

  feed(bytes: Uint8Array): void {
    this.#reader.read(bytes, (sequence) => this.#take(sequence));
  }

  /** Whether the program asked the terminal to send what it would not send by itself: mouse, focus. Such reports may be on their way when it ends. */
  get reporting(): boolean {
    return [9, 1000, 1001, 1002, 1003, 1004].some((mode) => this.#modes.get(mode) === true);
  }

  /** Whether a line of our own would disturb nothing: no sequence is under way, no full-screen program has the screen. */
  get interruptible(): boolean {
    return !this.#reader.unfinished && !this.#isAlternate && !this.#region;
  }

  /** What puts the terminal back; empty when nothing is left to undo. */
  restore(): string {
    const parts: string[] = [];
    // Ends a sequence or string the program left open.
    if (this.#reader.unfinished) parts.push('\x18\x1b\\');
    const alternate = this.#isAlternate;
    if (alternate) parts.push(this.#keyboardBack('alternate'));
    for (const [mode, on] of this.#modes)
      if (!screens.includes(mode) && !movingModes.has(mode) && on !== onByDefault.has(mode))
        parts.push(privateMode(mode, !on));
    for (const [mode, on] of this.#ansi) if (on) parts.push(`\x1b[${mode}l`);
    const moving = [...movingModes]
      .filter((mode) => this.#modes.get(mode) === true)
      .map((mode) => privateMode(mode, false));
    if (this.#region) moving.push('\x1b[r');
    // These send the cursor home: it is taken back to where it was.
    if (moving.length > 0) parts.push('\x1b7', ...moving, '\x1b8');
    for (const resource of this.#modifyKeys.keys()) parts.push(`\x1b[>${resource}m`);
    if (this.#keypad) parts.push('\x1b>');
    if (this.#shifted) parts.push('\x0f');
    if (this.#charset) parts.push('\x1b(B');
    if (this.#link) parts.push('\x1b]8;;\x1b\\');
    if (this.#styled) parts.push('\x1b[0m');
    if (this.#cursorShape) parts.push('\x1b[0 q');
    for (const colour of this.#colours) parts.push(`\x1b]1${colour}\x1b\\`);
    for (const mode of screens) if (this.#modes.get(mode) === true) parts.push(privateMode(mode, false));
    parts.push(this.#keyboardBack('main'));
    if (this.#titles > 0) parts.push('\x1b[23;0t'.repeat(this.#titles));
    return parts.join('');
  }

  /**
   * What brings the program's modes back after {@link restore}: for a terminal that was lent to the shell in between. Colours, regions and the like are left to the
   * program, which redraws, and are forgotten here.
   */
  reapply(): string {
    const parts = [this.#keyboardAgain('main')];
    for (const mode of screens) if (this.#modes.get(mode) === true) parts.push(privateMode(mode, true));
    if (this.#isAlternate) parts.push(this.#keyboardAgain('alternate'));
    for (const [mode, on] of this.#modes)
      if (!screens.includes(mode) && on !== onByDefault.has(mode)) parts.push(privateMode(mode, on));
    for (const [mode, on] of this.#ansi) if (on) parts.push(`\x1b[${mode}h`);
    for (const [resource, value] of this.#modifyKeys) parts.push(`\x1b[>${resource};${value}m`);
    if (this.#keypad) parts.push('\x1b=');
    this.#styled = this.#charset = this.#shifted = this.#region = this.#cursorShape = this.#link = false;
    this.#colours.clear();
    this.#titles = 0;
    return parts.join('');
  }

  get #isAlternate(): boolean {
    return screens.some((mode) => this.#modes.get(mode) === true);
  }

  #take(sequence: Sequence): void {
    switch (sequence.type) {
      case 'csi':
        return this.#csi(sequence);
      case 'esc':
        return this.#esc(sequence);
      case 'osc':
        return this.#osc(sequence.text);
      case 'control':
        if (sequence.byte === 0x0e) this.#shifted = true;
        if (sequence.byte === 0x0f) this.#shifted = false;
        return;
      default:
        sequence satisfies never;
    }
  }

  #csi({ prefix, params, intermediates, final }: Extract<Sequence, { type: 'csi' }>): void {
    const numbers = params.split(/[;:]/).map(Number);
    switch (`${prefix}${intermediates}${final}`) {
      case '?h':
      case '?l':
        for (const mode of numbers) if (!actions.has(mode)) remember(this.#modes, mode, final === 'h');
        return;
      case 'h':
      case 'l':
        for (const mode of numbers) remember(this.#ansi, mode, final === 'h');
        return;
      case 'm':
        this.#styled = !/(^|;)0*$/.test(params);
        return;
      case 'r':
        this.#region = params !== '' && params !== ';';
        return;
      case ' q':
        this.#cursorShape = params !== '' && params !== '0';
        return;
      case '>m':
        return this.#modifyKey(numbers);
      case '>u':
        if (this.#keyboard.pushed.length < maxModes) this.#keyboard.pushed.push(params);
        return;
      case '<u':
        this.#keyboard.pushed.splice(-Math.max(1, numbers[0] ?? 1));
        return;
      case '=u':
        return this.#setKeys((numbers[0] ?? 0) === 0 ? '' : params);
      case 't':
        if (numbers[0] === 22 && numbers[1] !== 1) this.#titles = Math.min(10, this.#titles + 1);
        if (numbers[0] === 23 && numbers[1] !== 1) this.#titles = Math.max(0, this.#titles - 1);
        return;
      case '!p':
        return this.#softReset();
      default:
        return;
    }
  }

  #esc({ intermediates, final }: Extract<Sequence, { type: 'esc' }>): void {
    switch (intermediates + final) {
      case '=':
        this.#keypad = true;
        return;
      case '>':
        this.#keypad = false;
        return;
      case 'c':
        return this.#hardReset();
      default:
        // G0 decides what letters look like; the others need a shift, which is undone by itself.
        if (intermediates === '(') this.#charset = final !== 'B';
    }
  }

  #osc(text: string): void {
    const [number = '', first = '', second = ''] = text.split(';', 3);
    if (number === '8') this.#link = second !== '' || text.split(';').slice(2).join(';') !== '';
    // 4 palette, 10 foreground, 11 background, 12 cursor … 19: setting, not asking; 1xx puts them back.
    if (/^(4|5|1[0-9])$/.test(number) && first !== '?' && second !== '?')
      this.#colours.add(number === '4' || number === '5' ? `0${number}` : number);
    if (/^1(04|05|1[0-9])$/.test(number)) this.#colours.delete(number.slice(1));
  }

  #modifyKey(numbers: number[]): void {
    const [resource, value] = numbers;
    if (resource === undefined || Number.isNaN(resource)) this.#modifyKeys.clear();
    else if (value === undefined) this.#modifyKeys.delete(`${resource}`);
    else this.#modifyKeys.set(`${resource}`, `${value}`);
  }

  get #keyboard(): Keyboard {
    return this.#keyboards[this.#isAlternate ? 'alternate' : 'main'];
  }

  /** Flags set on a pushed level go with it; below that they stay. */
  #setKeys(flags: string): void {
    const { pushed } = this.#keyboard;
    if (pushed.length > 0) pushed[pushed.length - 1] = flags;
    else this.#keyboard.set = flags;
  }

  #keyboardBack(screen: 'main' | 'alternate'): string {
    const { pushed, set } = this.#keyboards[screen];
    return (pushed.length > 0 ? `\x1b[<${pushed.length}u` : '') + (set === '' ? '' : '\x1b[=0u');
  }

  #keyboardAgain(screen: 'main' | 'alternate'): string {
    const { pushed, set } = this.#keyboards[screen];
    return (set === '' ? '' : `\x1b[=${set}u`) + pushed.map((flags) => `\x1b[>${flags}u`).join('');
  }

  #softReset(): void {
    for (const mode of [1, 6, 7, 25]) this.#modes.delete(mode);
    this.#ansi.delete(4);
    this.#styled = this.#keypad = this.#charset = this.#shifted = this.#region = this.#cursorShape = false;
  }

  #hardReset(): void {
    this.#softReset();
    this.#modes.clear();
    this.#ansi.clear();
    this.#modifyKeys.clear();
    this.#colours.clear();
    this.#link = false;
    this.#titles = 0;
    for (const keyboard of Object.values(this.#keyboards)) Object.assign(keyboard, { pushed: [], set: '' });
  }
}

function privateMode(mode: number, on: boolean): string {
  return `\x1b[?${mode}${on ? 'h' : 'l'}`;
}

function remember(modes: Map<number, boolean>, mode: number, on: boolean): void {
  if (Number.isInteger(mode) && mode > 0 && (modes.has(mode) || modes.size < maxModes)) modes.set(mode, on);
}
