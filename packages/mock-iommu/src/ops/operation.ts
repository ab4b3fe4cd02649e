import type { CommandCall, IommufdContext, Struct, StructFields, StructValues, UserProcess } from '@iommukit/iommufd';
import type { TEST_CMD } from '../abi.ts';
import type { MockIommu } from '../iommu.ts';

/** One test operation on its way. */
export interface TestCall<F extends StructFields> {
  readonly context: IommufdContext;
  readonly user: UserProcess;
  readonly iommu: MockIommu;
  /** The structure as this operation reads it. */
  readonly args: StructValues<F>;
  /** Sets fields and copies the structure back. EFAULT. */
  reply(values: Partial<StructValues<F>>): void;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a result reads better without `return 0`
type Result = number | void;

export type Operation = (call: CommandCall<typeof TEST_CMD.fields>, iommu: MockIommu) => Result;

/** An operation over its own layout of the command's bytes. */
export function operation<F extends StructFields>(struct: Struct<F>, run: (call: TestCall<F>) => Result): Operation {
  return ({ context, user, bytes, reply }, iommu) => {
    const respond = (values: Partial<StructValues<F>>): void => {
      struct.write(bytes, values);
      reply();
    };
    return run({ context, user, iommu, args: struct.decode(bytes), reply: respond });
  };
}
