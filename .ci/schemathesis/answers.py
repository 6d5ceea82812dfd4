"""Shows how each operation of a document was answered, and fails if one never succeeded."""

import json
import sys
import urllib.request

answers_path, document_url = sys.argv[1:]
with open(answers_path) as file:
    answers = json.load(file)
with urllib.request.urlopen(document_url) as response:
    document = json.load(response)

failed = []
total = succeeded = 0
operations = [one for methods in document["paths"].values() for one in methods.values()]
for operation in operations:
    identifier = operation["operationId"]
    counts = answers.get(identifier, {})
    good = sum(count for status, count in counts.items() if status.startswith("2"))
    total += sum(counts.values())
    succeeded += good
    if not good:
        failed.append(identifier)
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
    print(f"{identifier:30} {shown or 'not asked'}")
print(f"{len(operations) - len(failed)} of {len(operations)} operations succeeded, {succeeded} of {total} requests")
if failed:
    sys.exit(f"never succeeded: {', '.join(failed)}")
