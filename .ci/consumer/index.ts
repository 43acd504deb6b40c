// What a user's compiler sees of the package, with its declarations checked too.
import * as quorate from 'quorate';
import * as testing from 'quorate/testing';

void quorate;
void testing;
