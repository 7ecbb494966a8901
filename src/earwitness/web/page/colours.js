// Colours of sound and of evidence, as in the report: sound alone goes from black to bright (magma); below evidence it
// is grey, so that no colour is in both. Evidence for a class and evidence against it also differ in their outlines.

const MAGMA = "0000040303120a0822130d341d114729115a36106b440f7651127c5d177f6a1c81762181832681902a819c2e7faa337db73779"
  + "c43c75d0416fdc4869e75263ef5d5ef56b5cf9795dfc8961fd9869fea772feb67cfec488fed395fde2a3fcf0b2fcfdbf";

// Packed as a canvas stores a pixel in little-endian memory: alpha, blue, green, red.
const pack = (r, g, b, a = 255) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

function ladder(steps) {
  return Uint32Array.from({ length: 256 }, (_, level) => {
    const place = (level / 255) * (steps.length - 1);
    const below = Math.min(Math.floor(place), steps.length - 2);
    const mixed = [0, 1, 2].map((c) => Math.round(steps[below][c] + (place - below) * (steps[below + 1][c] - steps[below][c])));
    return pack(...mixed);
  });
}

const magma = ladder(MAGMA.match(/.{6}/g).map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16))));
// Quiet is the colour of the page, so that evidence stands out; what is loud never takes all of its contrast.
const greyOnLight = ladder([[250, 250, 248], [95, 97, 100]]);
const greyOnDark = ladder([[16, 18, 21], [178, 182, 188]]);

export const FOR = { light: [178, 24, 43], dark: [255, 96, 78] };
export const AGAINST = { light: [33, 102, 172], dark: [86, 170, 255] };

export const sound = (plain, dark) => (plain ? magma : dark ? greyOnDark : greyOnLight);

export const css = ([r, g, b], alpha = 1) => `rgb(${r} ${g} ${b} / ${alpha})`;

// A cell's colour: its hue says for or against, its opacity how much.
export function evidenceLadder(dark) {
  const theme = dark ? "dark" : "light";
  return Uint32Array.from({ length: 511 }, (_, level) => {
    const share = (level - 255) / 255;
    return pack(...(share < 0 ? AGAINST : FOR)[theme], Math.round(235 * Math.abs(share) ** 0.8));
  });
}

// Limits shared by all of a recording: from what is quieter than all but 2 % of what sounds, to the loudest.
export function soundLimits(values, silence) {
  const sounding = Float32Array.from(values.filter((value) => Number.isFinite(value) && value > silence + 1e-3)).sort();
  if (!sounding.length) return [silence, silence + 1];
  const at = (share) => sounding[Math.min(sounding.length - 1, Math.floor(share * sounding.length))];
  return [at(0.02), Math.max(at(0.9995), at(0.02) + 1e-3)];
}

export function level(value, low, high) {
  const share = (value - low) / (high - low);
  return share <= 0 || Number.isNaN(share) ? 0 : share >= 1 ? 255 : Math.round(255 * share);
}
