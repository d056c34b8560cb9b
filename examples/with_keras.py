"""Keras 3 on torch: one line, `callbacks=[PilotCallback()]`."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from sklearn.datasets import load_digits

from lrpilot.integrations.keras import PilotCallback

inputs, labels = load_digits(return_X_y=True)
inputs = inputs.astype("float32") / 16
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(10)]
)
model.compile(
    optimizer=keras.optimizers.Adam(1e-5),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(inputs[:1500], labels[:1500], batch_size=32, epochs=5, callbacks=[PilotCallback()])
print(f"test error: {1 - model.evaluate(inputs[1500:], labels[1500:])[1]:.1%}")
