export { JournalKeeper } from './keeper.ts';
