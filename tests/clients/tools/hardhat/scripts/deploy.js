// Deploys a counter and prints its address: hardhat run scripts/deploy.js --network dev

import hre from "hardhat";

const { viem } = await hre.network.getOrCreate();
const counter = await viem.deployContract("Counter", [100n]);
console.log(JSON.stringify({ counter: counter.address, limit: Number(await counter.read.limit()) }));
