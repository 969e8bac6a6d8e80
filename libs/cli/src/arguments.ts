/** Parsers of option values; commander writes their complaint beside the option's name. */
import { InvalidArgumentError } from 'commander';

const within = (value: number, min: number, max: number): boolean => value >= min && value <= max;

export const integer =
  (min: number, max = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || !within(value, min, max)) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };

/** A number above 0, at most `max`. */
export const positive =
  (max = Number.MAX_VALUE) =>
  (text: string): number => {
    const value = Number(text);
    if (!(value > 0 && value <= max)) {
      throw new InvalidArgumentError(`It must be a number above 0${max < 1e9 ? ` and at most ${max}` : ''}.`);
    }
    return value;
  };
