"""The hooks for PyTorch, Lightning, Keras and transformers, driven by the real libraries.

They are too large for the project's own environment, so this is run by hand, in one that has them:
`pip install torch lightning keras transformers accelerate` beside Homeostat, then
`python tests/manual/deep_learning_hooks.py`.
"""

import os
import sys
import tempfile
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import nn

import homeostat as hs

HOME = tempfile.mkdtemp(prefix="homeostat-hooks-")


def read(run: str) -> dict[str, Any]:
    client = hs.connect(HOME)
    found = client.run(run)
    client.close()
    return found


def check_torch() -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hs.run("torch", home=HOME) as run:
        hs.watch_torch(model, optimizer, every=2)
        for _ in range(10):
            optimizer.zero_grad()
            loss = model(torch.ones(8, 4)).pow(2).mean()
            loss.backward()
            optimizer.step()
            run.log(loss=loss)
        run.histogram("weights", model.weight)
        run.image("picture", torch.rand(3, 8, 8))
    metrics = read(run.id)["metrics"]
    assert metrics["gradients/norm"] > 0 and metrics["learning_rate/0"] == 0.01 and metrics["loss"] > 0


def check_lightning() -> None:
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = nn.Linear(width, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = self.layer(batch[0]).pow(2).mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    os.environ["HOMEOSTAT_HOME"] = HOME
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(32, 4)), batch_size=4)
    logger = hs.lightning_logger(project="lightning")
    trainer = pl.Trainer(
        max_epochs=2,
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        accelerator="cpu",
        enable_progress_bar=False,
    )
    trainer.fit(Module(), data)
    client = hs.connect(HOME)
    (run,) = client.runs(project="lightning")
    found = client.run(run["id"])
    client.close()
    assert run["status"] == "finished" and found["params"]["width"] == "4"
    assert found["metrics"]["train_loss"] > 0 and found["metrics"]["epoch"] == 1


def check_keras() -> None:
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    with hs.run("keras", home=HOME) as run:
        model.fit(
            np.ones((64, 4)),
            np.zeros(64),
            epochs=3,
            validation_split=0.25,
            verbose=0,
            callbacks=[hs.keras_callback(every_batches=1)],
        )
    found = read(run.id)
    assert found["params"]["optimizer/name"].lower() == "sgd" and found["params"]["epochs"] == "3"
    assert found["metrics"]["val_loss"] >= 0 and found["metrics"]["batch/loss"] >= 0


def check_transformers() -> None:
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    rows = [{"input_ids": [1, 2, 3, 4], "labels": step % 2} for step in range(16)]
    arguments = TrainingArguments(
        output_dir=f"{HOME}/trainer",
        num_train_epochs=1,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        per_device_train_batch_size=4,
        save_strategy="no",
        disable_tqdm=True,
    )
    with hs.run("transformers", home=HOME) as run:
        model = BertForSequenceClassification(config)
        Trainer(model, arguments, train_dataset=rows, callbacks=[hs.transformers_callback()]).train()
    found = read(run.id)
    assert found["metrics"]["loss"] > 0 and found["metrics"]["train_runtime"] > 0
    assert found["params"]["num_train_epochs"] and found["params"]["model/hidden_size"] == "16"


if __name__ == "__main__":
    for check in (check_torch, check_lightning, check_keras, check_transformers):
        check()
        sys.stdout.write(f"{check.__name__}: ok\n")
