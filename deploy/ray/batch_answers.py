"""Asks about all pictures of a folder by Ray Data, over HTTP, of servers that `neuron-blip serve` has started:

    pip install -r deploy/ray/requirements.txt
    python deploy/ray/batch_answers.py --pictures s3://bucket/pictures --output s3://bucket/answers \
        --server http://10.0.0.11:8080 --server http://10.0.0.12:8080 --question "is a dog barking?"

The output is JSON lines: path, answers, and error where a picture cannot be answered. Where the servers need a key, it is read from
the environment variable NEURON_BLIP_API_KEY.
"""

import argparse
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

import ray
import requests

# Servers say when they have room again. A picture is given up only when nobody answered for this long.
PATIENCE_S = 300


class Asker:
    """Asks the servers about a batch of pictures, several at once, so that the servers have batches to make."""

    def __init__(self, servers, questions, in_flight):
        self.servers = servers
        self.params = [("question", question) for question in questions]
        self.threads = ThreadPoolExecutor(in_flight)
        self.session = requests.Session()
        self.session.trust_env = False  # the servers are reached directly, not by a proxy
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=in_flight))
        key = os.environ.get("NEURON_BLIP_API_KEY")
        if key is not None:
            self.session.headers["authorization"] = f"Bearer {key}"

    def __call__(self, batch):
        outcomes = list(self.threads.map(self.ask, batch["bytes"]))
        return {
            "path": list(batch["path"]),
            "answers": [answers for answers, _ in outcomes],
            "error": [error for _, error in outcomes],
        }

    def ask(self, picture):
        """Returns the answers, or why there are none."""
        end = time.monotonic() + PATIENCE_S
        first = random.randrange(len(self.servers))
        attempt = 0
        while True:
            server = self.servers[(first + attempt) % len(self.servers)]
            attempt += 1
            pause = min(30, 0.1 * 2 ** min(attempt, 10))
            try:
                response = self.session.post(
                    f"{server}/answer",
                    params=self.params,
                    data=picture,
                    headers={"content-type": "application/octet-stream"},
                    timeout=60,
                )
                if response.status_code == 200:
                    return [answer["answer"] for answer in response.json()["answers"]], None
                if response.status_code < 500:
                    # It would fail the next time as well.
                    return [], response.json().get("code", str(response.status_code))
                pause = float(response.headers.get("retry-after", pause))
                error = str(response.status_code)
            except requests.RequestException as failure:
                error = type(failure).__name__
            # The next server is asked at once, and all of them again after a pause.
            if attempt % len(self.servers) == 0:
                if time.monotonic() + pause > end:
                    return [], error
                # Not all at the same moment.
                time.sleep(pause * random.uniform(1, 1.25))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", required=True, help="a folder, also of S3")
    parser.add_argument("--output", required=True, help="a folder, also of S3")
    parser.add_argument("--server", required=True, action="append", help="a server's URL; once for each")
    parser.add_argument("--question", required=True, action="append", help="once for each")
    parser.add_argument("--concurrency", type=int, default=2, help="processes that ask")
    parser.add_argument("--in-flight", type=int, default=8, help="requests of each process at a time")
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()

    pictures = ray.data.read_binary_files(args.pictures, include_paths=True)
    answers = pictures.map_batches(
        Asker,
        fn_constructor_args=(args.server, args.question, args.in_flight),
        batch_size=args.batch_size,
        concurrency=args.concurrency,
        num_cpus=0.25,  # it waits for the network, mostly
    )
    answers.write_json(args.output)


if __name__ == "__main__":
    main()
