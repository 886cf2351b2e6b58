/** Ctrl+\ as a plain terminal sends it. */
const plain = 0x1c;
/** The same key in kitty's keyboard protocol (with lock keys in the modifiers, and as a press or repeat) and in xterm's modifyOtherKeys. */
const encoded = /\x1b\[(?:92(?::\d*)*;(\d+)(?::[12])?(?:;[\d:]*)?u|27;(\d+);92~)/g;
const pasteStart = '\x1b[200~';
const pasteEnd = '\x1b[201~';

/** Looks for the detach key, Ctrl+\, in what a person types. A pasted one does not count. */
export class DetachKey {
  #pasting = false;

  /** What to pass on, and whether the key was pressed after it. */
  read(input: Uint8Array): { pass: Uint8Array; pressed: boolean } {
    const text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString('latin1');
    let from = 0;
    for (;;) {
      if (this.#pasting) {
        const end = text.indexOf(pasteEnd, from);
        if (end < 0) return { pass: input, pressed: false };
        this.#pasting = false;
        from = end + pasteEnd.length;
      }
      const paste = text.indexOf(pasteStart, from);
      const key = firstKey(text.slice(0, paste < 0 ? undefined : paste), from);
      if (key >= 0) return { pass: input.subarray(0, key), pressed: true };
      if (paste < 0) return { pass: input, pressed: false };
      this.#pasting = true;
      from = paste + pasteStart.length;
    }
  }
}

function firstKey(text: string, from: number): number {
  const byte = text.indexOf(String.fromCharCode(plain), from);
  encoded.lastIndex = from;
  for (let match = encoded.exec(text); match !== null; match = encoded.exec(text)) {
    const modifiers = Number(match[1] ?? match[2]) - 1;
    // 4 is Ctrl; 64 and 128 are Caps Lock and Num Lock, which do not matter.
    if ((modifiers & 0x3f) === 4) return byte < 0 ? match.index : Math.min(byte, match.index);
  }
  return byte;
}
