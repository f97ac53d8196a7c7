"""The client alone, in this process: embeddings, search and an answer with its source."""

from shared_core import RouterClient

FACTS = {
    "opening.txt": "The dome opens at dusk. It closes when the wind is above 55 km/h.",
    "kitchen.txt": "Soup is served on Mondays. Coffee is free for night shifts.",
}
QUESTION = "At what wind speed does the dome close?"

with RouterClient(local=True) as client:
    vectors = client.embeddings.create([QUESTION, *FACTS.values()]).vectors
    scores = vectors[1:] @ vectors[0]
    name, text = max(zip(FACTS.items(), scores, strict=True), key=lambda pair: pair[1])[0]
    answer = client.chat.create(f"{text}\n\n{QUESTION}")
    print(f"{answer.text} ({name}, by {answer.model})")
