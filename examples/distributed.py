"""Training on several devices and machines: MNIST on cheques, where a 4 read as a 9 costs 20.

On a TPU pod, under Slurm or Open MPI, start the same command on every host:
    python -m examples.distributed --checkpoints gs://BUCKET/FOLDER
On other machines, say where process 0 is to be found, how many there are, and which one this is:
    python -m examples.distributed --coordinator HOST:PORT --processes 2 --process 0
On this machine alone, two processes with two CPU devices each (`make distributed`):
    python -m examples.distributed --processes 2 --devices 2

A checkpoint follows each epoch. Whatever ends a run, the same command goes on from the last one.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import sys
import threading
from multiprocessing.connection import wait

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import datasets
from rwwce_jax.flax import RealWorldCost

FN, PAIRS, CLASSES = 1.0, {(4, 9): 19.0}, 10
BATCH = 128  # images in a step, over all devices of all processes
HEARTBEAT_SECONDS = 30  # a process that is silent for so long counts as lost, and all end
LOST = (-signal.SIGABRT, 1, os.EX_TEMPFAIL)  # a process lost another: ended by JAX, or by us


def network(pixels):
    rngs = nnx.Rngs(0)
    return nnx.Sequential(
        nnx.Linear(pixels, 128, rngs=rngs),
        nnx.relu,
        nnx.Linear(128, 64, rngs=rngs),
        nnx.relu,
        nnx.Linear(64, CLASSES, rngs=rngs),
    )


@nnx.jit
def step(model, optimizer, fp, images, labels):
    def loss(model):
        return rwwce.categorical(model(images), labels, FN, fp)  # the mean over the whole batch

    value, gradients = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradients)
    return value


@nnx.jit
def count(metric, model, images, labels, mask):
    metric.update(logits=model(images), labels=labels, mask=mask)


def train(data, mesh, checkpoints, epochs):
    """Every process runs this, on its own share of each batch."""
    process, processes = jax.process_index(), jax.process_count()
    by_rows = NamedSharding(mesh, PartitionSpec("data"))

    def put(rows, *arrays):
        """These rows, cut over all devices. Each process hands over those of its own devices."""
        own = rows.reshape(processes, -1)[process]
        return [jax.make_array_from_process_local_data(by_rows, array[own]) for array in arrays]

    # Made inside `jax.set_mesh`, model, optimizer, costs and metric are on every device.
    model = network(data.train_images.shape[-1])
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    fp = rwwce.pair_costs(PAIRS, CLASSES)
    if done := checkpoints.latest_step() or 0:
        state = ocp.args.StandardRestore(nnx.state((model, optimizer)))
        nnx.update((model, optimizer), checkpoints.restore(done, args=state))

    images, steps = len(data.train_images), len(data.train_images) // BATCH
    with tqdm(total=epochs * steps, initial=done * steps, disable=process > 0, unit="step") as bar:
        for epoch in range(done, epochs):
            # Drawn from the epoch's number: the same in each process, and after a restart.
            order = np.random.default_rng(epoch).permutation(images)
            for rows in order[: steps * BATCH].reshape(steps, BATCH):
                batch = put(rows, data.train_images, data.train_labels)
                loss = step(model, optimizer, fp, *batch)
                loss.block_until_ready()  # CPUs with many steps in flight may hang (jaxlib 0.10.2)
                bar.update()
            bar.set_postfix(loss=f"{loss.item():.4f}")
            checkpoints.save(epoch + 1, args=ocp.args.StandardSave(nnx.state((model, optimizer))))

    metric, images = RealWorldCost(FN, fp), len(data.test_images)
    padded = np.arange(-(-images // BATCH) * BATCH)  # the last batch is filled up, and masked
    for rows in padded.reshape(-1, BATCH):
        batch = put(rows % images, data.test_images, data.test_labels)
        count(metric, model, *batch, *put(rows, padded < images))
    share = f"{jax.local_device_count()} of {jax.device_count()} devices"
    cost = f"Real World Cost {metric.compute():.6f} on {data.name}, {max(done, epochs)} epochs"
    print(f"Process {process} of {processes}, {share}: {cost}", flush=True)


def work(options, coordinator, process):
    """One process, from its connection to its end, which waits for no other process."""
    # Ends with the process that watches it, which alone answers Ctrl-C.
    watch = multiprocessing.parent_process().join
    threading.Thread(target=lambda: (watch(), os._exit(1)), daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is for several processes, and would be left behind
    name, code = multiprocessing.current_process().name, os.EX_SOFTWARE
    if options.devices:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", options.devices)
    try:
        at = (coordinator, options.processes, process)  # where None, JAX looks around
        try:
            jax.distributed.initialize(*at, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
        except ValueError as error:
            sys.exit(f"no cluster is found here ({error}): use --processes, as --help says.")
        if BATCH % jax.device_count():
            sys.exit(f"the batch of {BATCH} cannot be cut over {jax.device_count()} devices.")
        data = datasets.mnist(options.data)
        folder = f"{options.checkpoints}/{data.name}"
        folder = folder if "://" in folder else os.path.abspath(folder)
        keep = ocp.CheckpointManagerOptions(max_to_keep=2, cleanup_tmp_directories=True)
        mesh = jax.make_mesh((jax.device_count(),), ("data",))
        checkpoints = ocp.CheckpointManager(folder, options=keep)
        with jax.set_mesh(mesh):
            train(data, mesh, checkpoints, options.epochs)
        checkpoints.close()
        jax.distributed.shutdown()
        code = os.EX_OK
    except (jax.errors.JaxRuntimeError, TimeoutError) as error:  # the latter by Orbax
        print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
        code = os.EX_TEMPFAIL
    except (OSError, SystemExit, datasets.UnavailableError) as error:
        print(f"{name} cannot go on: {error}", file=sys.stderr)
    except Exception:  # whatever it is, the process must not stay: shown as Python would
        sys.excepthook(*sys.exc_info())
    os._exit(code)  # at once: JAX would wait at exit for a process that is lost


def main():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--processes", type=int, metavar="N")
    parser.add_argument("--devices", type=int, metavar="N", help="of CPU, in each process")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0")
    parser.add_argument("--process", type=int, metavar="I")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--data", choices=("mnist", "digits"), default="mnist")
    parser.add_argument("--checkpoints", default="output/distributed", metavar="DIR")
    options = parser.parse_args()
    coordinator, numbers = options.coordinator, [options.process]
    if min(options.epochs, options.devices or 1, options.processes or 1) < 1:
        parser.error("--epochs, --devices and --processes must be at least 1.")
    by_hand = coordinator or options.process is not None
    if by_hand and not (coordinator and options.process in range(options.processes or 0)):
        parser.error("--coordinator goes with --processes N and --process, from 0 to N - 1.")
    if options.processes and not by_hand:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = "127.0.0.1:{1}".format(*free.getsockname())
        numbers = range(options.processes)
    again = f"The same command goes on from the last checkpoint in {options.checkpoints}."
    context, workers = multiprocessing.get_context("spawn"), []
    try:
        on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the workers inherit this
        for number in numbers:
            name = "The process of this host" if number is None else f"Process {number}"
            worker = context.Process(target=work, args=(options, coordinator, number), name=name)
            workers.append(worker)
            worker.start()
        signal.signal(signal.SIGINT, on_interrupt)
        running, failed = {worker.sentinel: worker for worker in workers}, []
        while running and not failed:
            for sentinel in wait(running):
                running.pop(sentinel).join()  # only then is the exit code known
            failed = [worker for worker in workers if worker.exitcode]
    except KeyboardInterrupt:
        print(f"\nInterrupted. {again}", file=sys.stderr)
        sys.exit(130)
    finally:
        for worker in reversed(workers):  # process 0 last: JAX aborts those that miss it
            worker.kill()  # on SIGTERM, JAX would only take note that the machine is to go
    if failed:
        first = min(failed, key=lambda worker: worker.exitcode in LOST)
        if first.exitcode == os.EX_SOFTWARE:
            sys.exit(1)  # it has said why
        if first.exitcode in LOST:
            sys.exit(f"\n{first.name} lost another one, so all end. {again}")
        sys.exit(f"\n{first.name} got {signal.Signals(-first.exitcode).name}, so all end. {again}")


if __name__ == "__main__":
    main()
