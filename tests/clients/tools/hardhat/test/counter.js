// What a test suite does between its tests: fixtures by snapshot, time, balances, impersonation.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import hre from "hardhat";

const { viem, networkHelpers } = await hre.network.getOrCreate();
const [owner, other] = await viem.getWalletClients();
const client = await viem.getPublicClient();

async function deployed() {
  const counter = await viem.deployContract("Counter", [10n]);
  await counter.write.add([3n]);
  return { counter };
}

describe("Counter", () => {
  it("counts", async () => {
    const { counter } = await networkHelpers.loadFixture(deployed);
    await counter.write.add([4n], { account: other.account });
    assert.equal(await counter.read.number(), 7n);
  });
  it("begins again from the fixture", async () => {
    const { counter } = await networkHelpers.loadFixture(deployed);
    assert.equal(await counter.read.number(), 3n);
    const events = await counter.getEvents.Counted();
    assert.equal(events.length, 1);
  });
  it("refuses above its limit", async () => {
    const { counter } = await networkHelpers.loadFixture(deployed);
    await assert.rejects(counter.write.add([8n]), /AboveLimit/);
  });
  it("moves time", async () => {
    const before = await networkHelpers.time.latest();
    await networkHelpers.time.increase(3600);
    assert.ok((await networkHelpers.time.latest()) >= before + 3600);
    await networkHelpers.mine(5);
  });
  it("sends for a contract", async () => {
    const { counter } = await networkHelpers.loadFixture(deployed);
    await networkHelpers.setBalance(counter.address, 10n ** 18n);
    await networkHelpers.impersonateAccount(counter.address);
    const guest = await viem.getWalletClient(counter.address);
    const hash = await guest.sendTransaction({ to: other.account.address, value: 5n });
    const receipt = await client.waitForTransactionReceipt({ hash });
    assert.equal(receipt.from, counter.address.toLowerCase());
    await networkHelpers.stopImpersonatingAccount(counter.address);
  });
  it("sets storage", async () => {
    const { counter } = await networkHelpers.loadFixture(deployed);
    await networkHelpers.setStorageAt(counter.address, 0, 9);
    assert.equal(await counter.read.number(), 9n);
  });
});
