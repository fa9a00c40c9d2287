// A project whose one network is a developer chain: qenex dev. The compiler is the npm package solc.

import { createRequire } from "node:module";
import hardhatViem from "@nomicfoundation/hardhat-viem";
import hardhatNetworkHelpers from "@nomicfoundation/hardhat-network-helpers";
import hardhatNodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";

const solc = createRequire(import.meta.url).resolve("solc/soljson.js");
export default {
  plugins: [hardhatViem, hardhatNetworkHelpers, hardhatNodeTestRunner],
  solidity: { compilers: [{ version: "0.8.37", path: solc, settings: { evmVersion: "prague" } }] },
  networks: { dev: { type: "http", url: process.env.QENEX_DEV_URL } },
};
