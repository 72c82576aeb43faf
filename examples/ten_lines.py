"""Train on digits with wrong labels among them, forget those records, and have the result judged."""

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models import digits_mlp

ORACLES = 4  # enough to find memory; for good news the judge wants 16

# 5 % of the training records get a wrong label: what must be forgotten leaves a trace that is easy to see.
request = select("mislabelled:0.05", load("digits"), seed=0)

task = eb.Classification()
trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=100, learning_rate=3e-3), task=task)
model = trainer(request.dataset, seed=0)
method = eb.Ebb()
forgotten = method.unlearn(model, request, task=task, seed=0)  # a new model; `model` is untouched
oracles = eb.OracleBank(trainer, request).train(ORACLES)  # retrained without the forget set
report = eb.audit(original=model, unlearned=forgotten, oracles=oracles, request=request, task=task)

print(report.verdict)
print("written:", report.save("runs/ten_lines"), "and report.html beside it")
