export { ControlAndDataChannels } from './factory.ts';
