/** Size of a guest page and of every unit of RAM capture, bytes (x86-64). */
export const pageBytes = 4096;
