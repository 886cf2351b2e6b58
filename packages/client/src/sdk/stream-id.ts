/** First bytes of the binary messages of a command without a terminal, by the names of the npm SDK. */
export const StreamID = { Stdin: 0, Stdout: 1, Stderr: 2, Exit: 3, StdinEOF: 4 } as const;
