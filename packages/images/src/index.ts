export { buildGuest, type BuildGuestOptions, type Guest } from './guest.ts';
export { buildImage, type BuildImageOptions } from './image.ts';
export { findImage, importImage, listImages, type Image, type ImportImageOptions } from './library.ts';
export { guestManifest, imageManifest, type GuestManifest, type ImageManifest } from './manifests.ts';
export type { Progress } from './run.ts';
export { imageSpec, parseImageSpec, readImageSpec, specDigest, type ImageSpec } from './spec.ts';
