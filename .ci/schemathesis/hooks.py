"""Counts the answers to each operation, by status, in the file that TITAN_ANSWERS names, and makes users anew who were deleted."""

import atexit
import json
import os
from collections import Counter, defaultdict

import requests
import schemathesis

ANSWERS = os.environ["TITAN_ANSWERS"]
MANAGER = os.environ["TITAN_MANAGER"]
TOKEN = os.environ["TITAN_ADMIN_TOKEN"]
USERS = ("ann", "bob")

answers = defaultdict(Counter)


@schemathesis.hook
def after_call(context, case, response):
    identifier = case.operation.definition.raw["operationId"]
    answers[identifier][str(response.status_code)] += 1
    if identifier.endswith("user.delete") and response.status_code < 300:
        for name in USERS:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            made = requests.post(f"{MANAGER}/v1/users", json={"name": name}, headers=bearer, timeout=35)
            assert made.status_code in (201, 409), made.text


@atexit.register
def save():
    if os.path.exists(ANSWERS):
        with open(ANSWERS) as file:
            for identifier, counts in json.load(file).items():
                answers[identifier].update(counts)
    with open(ANSWERS, "w") as file:
        json.dump(answers, file)
