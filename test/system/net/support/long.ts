/** `QUORATE_LAB_LONG=1` makes the scenarios as long as they deserve; without it they are as long as a check of every change may be. */
export const long = process.env.QUORATE_LAB_LONG === '1';
