export default { networks: { node: { type: "edr-simulated", chainType: "l1" } } };
