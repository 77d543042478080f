"""One request wherever its work goes: tasks, threads, pools, other processes. Every line printed bears its id.

python examples/across.py
"""

import asyncio
import logging.config
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor

import llmlog


def set_up() -> None:
    logging.config.dictConfig(llmlog.dict_config(console="json"))


def say(where: str) -> None:
    logging.getLogger("shop").info(where)


async def main() -> None:
    async with llmlog.request("r-1", user_id="u-17"):
        await asyncio.to_thread(say, "a thread by to_thread")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(say, "a task's thread"))
        with llmlog.ContextExecutor() as pool:
            await asyncio.get_running_loop().run_in_executor(pool, say, "a pool of threads")

        thread = threading.Thread(target=llmlog.carry(say), args=("a plain thread",))
        thread.start()
        thread.join()

        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=set_up) as processes:
            processes.submit(llmlog.carry(say), "another process").result()


if __name__ == "__main__":
    set_up()
    asyncio.run(main())
