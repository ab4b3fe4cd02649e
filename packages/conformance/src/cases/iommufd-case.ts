import type { Capability } from '@iommukit/core';
import { PAGE_SIZE } from '@iommukit/iommufd';
import { type Case, casesOf } from '../case.ts';
import { equal, refuses } from '../expect.ts';
import type { Rig } from '../rig/rig.ts';
import { User } from '../rig/user.ts';

/** A promise of the user API, as it holds on every vendor. */
interface UserCase {
  readonly id: string;
  readonly title: string;
  readonly needs: readonly Capability[];
  run(user: User): void;
  /** See {@link Case.without}. */
  without?(user: User): void;
}

/** The host's page, which the API's rules speak of. */
export const PAGE = PAGE_SIZE;

/** Declares cases of a program that has `/dev/iommu` open; when one ends, everything is closed and nothing may be left. */
export const userCases = (list: readonly UserCase[]): readonly Case[] =>
  casesOf(
    'iommufd',
    list.map(({ run, without, ...rest }) => ({
      ...rest,
      run: asUser(run),
      ...(without ? { without: asUser(without) } : {}),
    })),
  );

const asUser =
  (body: (user: User) => void) =>
  (rig: Rig): void => {
    const user = new User(rig);
    if (smallestPage(rig) > PAGE) refusesLargePages(user);
    else body(user);
    user.close();
  };

function smallestPage(rig: Rig): bigint {
  const domain = rig.device('b').device.allocPaging();
  const { granule } = domain;
  domain.free();
  return granule;
}

/** What a unit that cannot map the host's pages must do, whatever the case: nothing of it enters an address space. */
function refusesLargePages(user: User): void {
  const { object, dma } = user.device();
  const ioas = user.ioas();
  refuses('EINVAL', () => object.attach(ioas), 'attaching with pages above the host');
  refuses('EINVAL', () => user.fd.hwptAlloc(object.id, ioas), 'an HWPT with pages above the host');
  equal(object.hwpt(), null, 'HWPT of the device');
  dma.refused('read', 0x4000_0000n, { reported: 'blocked' });
}
