"""A convolutional autoencoder with a noise buffer, mean squared error, RMSprop; what it learned is
saved and taken up again."""

import argparse
import os
from collections import OrderedDict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.body = nn.Sequential(
            OrderedDict(
                [
                    ("conv1", nn.Conv2d(1, width, 3, 2, 1)),
                    ("act1", nn.LeakyReLU(0.2, inplace=True)),
                    ("conv2", nn.Conv2d(width, 2 * width, 3, 2, 1)),
                    ("act2", nn.Softplus()),
                    ("flat", nn.Flatten()),
                ]
            )
        )
        self.mu = nn.Linear(2 * width * 4, latent)
        self.logvar = nn.Linear(2 * width * 4, latent)

    def forward(self, x):
        h = self.body(x)
        return self.mu(h), self.logvar(h)


class Decoder(nn.Module):
    def __init__(self, width, latent):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(latent, 2 * width * 4),
            nn.Unflatten(1, (2 * width, 2, 2)),
            nn.Upsample(scale_factor=2),
            nn.ReflectionPad2d(1),
            nn.Conv2d(2 * width, width, 3),
            nn.ReLU(),
        )
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, z):
        h = F.interpolate(self.body(z), scale_factor=2, mode="nearest")
        return self.out(h)


class VAE(nn.Module):
    def __init__(self, width=4, latent=3):
        super().__init__()
        self.encoder, self.decoder = Encoder(width, latent), Decoder(width, latent)
        self.register_buffer("mean_image", torch.zeros(1, 8, 8))
        self.register_buffer("seen", torch.tensor(0), persistent=False)

    def forward(self, x, noise):
        if self.training:
            with torch.no_grad():
                self.mean_image += 0.1 * (x.mean(0) - self.mean_image)
                self.seen += x.size(0)
        mu, logvar = self.encoder(x - self.mean_image)
        z = mu + torch.exp(0.5 * logvar) * noise if self.training else mu
        return self.decoder(z), mu, logvar


def make_model(args):
    return VAE()


def load_data():
    rng = np.random.default_rng(6)
    rows, columns = rng.integers(0, 8, (2, 40))
    images = np.zeros((40, 1, 8, 8))
    images[np.arange(40), 0, rows] = 1
    images[np.arange(40), 0, :, columns] = 1
    return images.astype(np.float32), rng.standard_normal((40, 3)).astype(np.float32)


def loss_function(kind, logits, x, mu, logvar):
    if kind == "bce":
        recon = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum") / len(x)
    elif kind == "logits":
        recon = nn.BCEWithLogitsLoss(reduction="sum")(logits, x) / len(x)
    elif kind == "l1":
        recon = 64 * (F.smooth_l1_loss(logits, x) + nn.L1Loss()(logits, x))
    else:
        recon = 64 * nn.MSELoss()(logits, x)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
    return recon + 0.1 * kld


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--loss", choices=["mse", "bce", "logits", "l1"], default="mse")
    parser.add_argument("--folder", default=".")
    args = parser.parse_args(argv)
    model = make_model(args)
    images, noise = (torch.from_numpy(array) for array in load_data())
    optimizer = torch.optim.RMSprop(
        model.parameters(), lr=2e-3, alpha=0.9, momentum=0.5, centered=True
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    path = os.path.join(args.folder, "vae.pth")
    losses, errors = [], []
    for epoch in range(args.epochs):
        model.train()
        for i in range(0, len(images), 10):
            x = images[i : i + 10]
            logits, mu, logvar = model(x, noise[i : i + 10])
            loss = loss_function(args.loss, logits, x, mu, logvar)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 5.0)
            optimizer.step()
            scheduler.step(epoch + i / len(images))
            losses.append(loss.item())
        torch.save(
            {
                "epoch": epoch,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "losses": losses,
                "args": vars(args),
            },
            path,
        )
        saved = torch.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        model.eval()
        with torch.no_grad():
            logits, mu, _ = model(images, None)
            restored = torch.where(logits > 0.5, torch.ones_like(logits), torch.zeros_like(logits))
            wrong = (restored != images).float().mean().item()
            errors.append(wrong)
        print(
            f"====> Epoch: {saved['epoch']} loss {saved['losses'][-1]:.4f} wrong {wrong:.4f} "
            f"mu {mu.std().item():.4f} mean {model.mean_image.sum():.4f} seen {model.seen.item()}"
        )
    print(", ".join(model.state_dict()))
    return losses, errors


if __name__ == "__main__":
    main()
