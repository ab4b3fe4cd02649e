import { ensure } from '@iommukit/core';
import { fetch, PAGE_SIZE, type Pin, store, type UserProcess } from '@iommukit/iommufd';
import {
  ACCESS_NEEDS_PINS,
  ACCESS_PAGES,
  ACCESS_PAGES_WRITE,
  ACCESS_REPLACE_IOAS,
  ACCESS_RW,
  ACCESS_RW_SLOW_PATH,
  ACCESS_RW_WRITE,
  CREATE_ACCESS,
  DESTROY_ACCESS_PAGES,
} from '../abi.ts';
import { MockAccessFile } from '../access-file.ts';
import { findIoas } from './find.ts';
import { operation } from './operation.ts';
import { hostPages, pagesUnder } from './pages.ts';

const O_CLOEXEC = 0x80000;
const MAX_LENGTH = 16n << 20n;

const checkLength = (length: bigint): void => ensure(length <= MAX_LENGTH, 'ENOMEM', 'more than 16 MiB');
const checkFlags = (flags: number, known: number): void =>
  ensure((flags & ~known) === 0, 'EOPNOTSUPP', `flags ${flags}`);

/** The structure is written once before the descriptor exists, since that one could not be taken back. */
export const createAccess = operation(CREATE_ACCESS, ({ context, user, args, reply }) => {
  checkFlags(args.flags, ACCESS_NEEDS_PINS);
  const file = new MockAccessFile(context, args.flags === ACCESS_NEEDS_PINS);
  try {
    file.access.attach(findIoas(context, args.id));
    reply({});
    reply({ out_access_fd: user.newFile(file, O_CLOEXEC) });
  } catch (error) {
    file.close();
    throw error;
  }
});

export const replaceIoas = operation(ACCESS_REPLACE_IOAS, ({ context, user, args }) => {
  const { access } = MockAccessFile.of(user, args.id);
  access.replace(findIoas(context, args.ioas_id));
});

/** Pins, and compares with user memory unless its address is 0. */
export const accessPages = operation(ACCESS_PAGES, ({ user, args, reply }) => {
  const { iova, length, uptr, flags } = args;
  checkLength(length);
  checkFlags(flags, ACCESS_PAGES_WRITE);
  const file = MockAccessFile.of(user, args.id);
  const { access } = file;
  ensure(access.user.needsPins, 'EOPNOTSUPP', 'the access pins nothing');
  const pin = access.pin(iova, length, (flags & ACCESS_PAGES_WRITE) !== 0);
  try {
    if (uptr !== 0n) ensure(samePages(user, pin, uptr), 'EBADE', 'other pages than expected');
    access.context.injector.use('alloc');
  } catch (error) {
    access.unpin(pin);
    throw error;
  }
  const item = file.addItem(pin);
  try {
    reply({ out_access_pages_id: item });
  } catch (error) {
    file.removeItem(item);
    throw error;
  }
});

function samePages(user: UserProcess, { iova, length, extents }: Pin, uptr: bigint): boolean {
  const before = iova % PAGE_SIZE;
  const expected = hostPages(pagesUnder(user, BigInt.asUintN(64, uptr - before) & -PAGE_SIZE, before + length));
  for (const page of hostPages(extents)) if (expected.next().value !== page) return false;
  return expected.next().done === true;
}

export const destroyAccessPages = operation(DESTROY_ACCESS_PAGES, ({ user, args }) => {
  MockAccessFile.of(user, args.id).removeItem(args.access_pages_id);
});

/** Copies between user memory and mapped memory. There is one path, so the slow one is the same. */
export const accessRw = operation(ACCESS_RW, ({ user, args }) => {
  const { iova, length, uptr, flags } = args;
  checkLength(length);
  checkFlags(flags, ACCESS_RW_WRITE | ACCESS_RW_SLOW_PATH);
  const { access } = MockAccessFile.of(user, args.id);
  const write = (flags & ACCESS_RW_WRITE) !== 0;
  const bytes = write ? fetch(user, uptr, Number(length)) : new Uint8Array(Number(length));
  access.copy(iova, bytes, write);
  if (!write) store(user, uptr, bytes);
});
