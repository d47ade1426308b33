"""Every benchmark there is, in the order in which they run."""

from benchmarks.harness import Benchmark

CATALOGUE = (
    Benchmark(
        name="cpu_per_task",
        target="benchmarks.cpu:cpu_per_task",
        summary="CPU from call to resolved future, against a bare ThreadPoolExecutor in the same run",
    ),
    Benchmark(
        name="throughput",
        target="benchmarks.throughput:throughput",
        summary="tasks per second end to end, and whether 200,000 go as fast as 10,000",
    ),
    Benchmark(
        name="chain",
        target="benchmarks.chains:chain",
        summary="1,000 tasks, each of which takes the previous future",
    ),
    Benchmark(
        name="chain_100k",
        target="benchmarks.chains:deep_chain",
        summary="100,000 tasks in one chain, also with a root that fails",
    ),
    Benchmark(
        name="fan_in",
        target="benchmarks.fan_in:fan_in",
        summary="one task with 4,000 dependencies, and how the cost grows with their number",
    ),
    Benchmark(
        name="memory_waiting",
        target="benchmarks.memory:waiting",
        summary="bytes per task that waits for a dependency",
    ),
    Benchmark(
        name="memory_finished",
        target="benchmarks.memory:finished",
        summary="what is kept of finished tasks whose futures were dropped",
    ),
    Benchmark(
        name="memory_queued",
        target="benchmarks.memory:queued",
        summary="a million calls from a generator with max_pending, in constant memory",
        limit_seconds=600.0,
    ),
    Benchmark(
        name="import_time",
        target="benchmarks.imports:import_time",
        summary="what `import fanflow` costs a fresh interpreter, and the modules it loads",
    ),
    Benchmark(name="bash", target="benchmarks.bash_apps:bash", summary="500 bash apps that run `true`"),
    Benchmark(
        name="life",
        target="benchmarks.life:life",
        summary="from load to the first result, and shutdown",
    ),
    Benchmark(
        name="pilot_speed",
        target="benchmarks.pilot_speed:speed",
        summary="no-op tasks on two worker processes: CPU and tasks per second, against the limit",
    ),
    Benchmark(
        name="pilot_encrypted",
        target="benchmarks.pilot_speed:encrypted",
        summary="the same over TCP with CurveZMQ, against Unix sockets in the same run",
    ),
    Benchmark(
        name="pilot_peers",
        target="benchmarks.pilot_speed:beside_others",
        summary="the same tasks on other systems, where they are installed",
    ),
    Benchmark(
        name="pilot_latency",
        target="benchmarks.pilot_latency:latency",
        summary="one task at a time, and a chain, on worker processes",
    ),
    Benchmark(
        name="pilot_life",
        target="benchmarks.pilot_latency:life",
        summary="from load to the first result of a worker process, and shutdown",
    ),
    Benchmark(
        name="pilot_mixes",
        target="benchmarks.pilot_mixes:mixes",
        summary="sleeping tasks, and few long ones among many instant ones, against the ideal",
    ),
    Benchmark(
        name="pilot_arrays",
        target="benchmarks.pilot_payloads:arrays",
        summary="100 MB as argument and as result of a worker process",
    ),
    Benchmark(
        name="pilot_bash",
        target="benchmarks.pilot_payloads:bash",
        summary="500 bash apps that run `true` on worker processes",
    ),
    Benchmark(
        name="pilot_memory",
        target="benchmarks.pilot_memory:memory",
        summary="bytes per task that waits for a worker process, and of a million of them",
        limit_seconds=600.0,
    ),
)
