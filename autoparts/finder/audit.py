"""Photos whose label looks wrong, from what a linear head says of them that has not seen them."""

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from autoparts.catalogue import below_root
from autoparts.models import Recogniser
from autoparts.sampling import Photos
from autoparts.study.backbones import pretrained_weights
from autoparts.study.run import Run

FOLDS = 5
INVERSE_PENALTY = 10.0  # C of the logistic regression: softer than for naming, for it has to doubt what it was told


def suspicious_labels(unit: Tensor, labels: Tensor, seed: int = 0) -> pd.DataFrame:
    """Find labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

    A logistic regression on (N, D) embeddings names each photo after training on four fifths of the others; a label
    (N,) int64 is suspicious where that is surer of another one than it usually is of photos with that label. Returns a
    row for each such photo, the least plausible label first: photo (its place), label, likelier, probability (of the
    likelier label). Photos of labels with fewer than `FOLDS` photos are neither judged nor learned from.
    """
    truth = labels.numpy()
    enough = np.flatnonzero(np.bincount(truth)[truth] >= FOLDS)
    known, codes = np.unique(truth[enough], return_inverse=True)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=300)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1, "blas"):  # as in `recommended.fit_head`
        chances = cross_val_predict(model, unit.numpy()[enough], codes, cv=folds, method="predict_proba")
    found = find_label_issues(codes, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    likelier = chances[found].argmax(axis=1)
    columns = {"photo": enough[found], "label": truth[enough][found], "likelier": known[likelier]}
    return pd.DataFrame(columns | {"probability": chances[found, likelier]})


def suspicious_photos(run: Run, network: Recogniser, photos: Photos) -> pd.DataFrame:
    """Find training photos whose name looks wrong, by what the network's backbone sees in them as it came.

    So no label has shaped what is compared; a network that was trained from scratch has to judge photos it was trained
    on, and finds fewer. Takes the network and the photos as it sees them; returns a row for each suspect, the least
    plausible name first: photo, name, likelier, probability, row (in the pixels).
    """
    if backbone := network.architecture["backbone"]:
        network = Recogniser(1, **network.architecture | {"views": [1.0]}).to(memory_format=torch.channels_last).eval()
        network.load_pretrained(pretrained_weights(backbone))
    features = run.features(network.to(photos.device), photos)[photos.rows["train"]]
    unit = F.normalize(features - features.mean(dim=0), dim=1)
    found = suspicious_labels(unit, photos.labels["train"].cpu(), run.study.seed)
    train, names = run.study.subset("train"), np.array(run.study.categories, dtype=object)
    suspects = train.iloc[found["photo"]]
    columns = {"photo": below_root(suspects["path"], train["path"]).to_numpy(), "name": names[found["label"]]}
    columns |= {"likelier": names[found["likelier"]], "probability": found["probability"].to_numpy()}
    return pd.DataFrame(columns | {"row": suspects["row"].to_numpy()})
