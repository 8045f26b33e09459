"""A Ray cluster of several nodes on this machine, in a process of its own: `python -m tests.e2e.ray_cluster --nodes 2`.

Prints the cluster's address, then obeys lines on its standard input: `kill` ends a node as if its machine had lost
power, `add` brings one in. It ends, with all nodes, at the end of that input. The head has no CPU, so no work.
"""

import argparse
import os
import sys

PATIENT = {  # a loaded machine starts nodes slowly, and answers late
    "RAY_agent_register_timeout_ms": "200000",
    "RAY_raylet_start_wait_time_s": "200",
    "RAY_health_check_timeout_ms": "60000",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=1, help="of each node")
    arguments = parser.parse_args()
    os.environ.update(PATIENT, RAY_USAGE_STATS_ENABLED="0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=arguments.cpus) for _ in range(arguments.nodes)]
    cluster.wait_for_nodes(timeout=200)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        elif line.strip() == "add":
            nodes.append(cluster.add_node(num_cpus=arguments.cpus))
        print(len(nodes), flush=True)
    cluster.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
