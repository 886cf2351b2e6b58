import type { ResumeEvent } from '@sylph/model';

/** A start that changes nothing. */
export const plainResume: ResumeEvent = {
  time: '1',
  entropy: '',
  generationId: 'g',
  hostname: 'h',
  spriteId: 's',
  machineId: 'm',
  newIdentity: false,
};
