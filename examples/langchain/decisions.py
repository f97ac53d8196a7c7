"""Typed questions about a text, answered with probabilities (langchain-core 1.8 and later)."""

from langchain_core.decisions import Choice, Noul

from langchain_hfrouter.decisions import HFRouterDecisionModel

model = HFRouterDecisionModel(model="facebook/bart-large-mnli")
response = model.invoke(
    {
        "state": "I was charged twice, please help me at once!",
        "questions": {
            "team": Choice(
                instructions="This message is about", criteria={"money": None, "bugs": None}
            ),
            "urgent": Noul(instructions="Is this message urgent? The answer is"),
        },
    }
)
team = response.choices["team"]
print(team.choice, f"{team.confidence:.2f}")
print("urgent", f"{response.nouls['urgent'].noul:.2f}")
